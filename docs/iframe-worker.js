// A page that is opened from a disk may not start a worker: the script of the search runs in a hidden frame instead.
// The theme would load another such script from the network (mkdocs.yml names this one in its place).
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = [] // messages that came before the script did
      const begin = () => {
        const frame = document.createElement("iframe")
        frame.hidden = true
        document.body.append(frame)
        this.inner = frame.contentWindow
        this.inner.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
        const script = this.inner.document.createElement("script")
        script.src = url
        script.onload = () => {
          this.ready = true
          this.waiting.forEach(data => this.deliver(data))
        }
        script.onerror = () => this.dispatchEvent(new ErrorEvent("error", { message: `${url} cannot be loaded` }))
        this.inner.document.head.append(script)
      }
      if (document.body) begin()
      else addEventListener("DOMContentLoaded", begin)
    }

    deliver(data) {
      this.inner.dispatchEvent(new this.inner.MessageEvent("message", { data }))
    }

    postMessage(data) {
      if (this.ready) this.deliver(data)
      else this.waiting.push(data)
    }

    terminate() {
      this.inner?.frameElement.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
