/** The capture's end of a live view: in the capture worker, beside the file's writer. */
import type { MessagePort } from "node:worker_threads";
import { LiveFeed, type TraceSink, tee, type ViewMessage } from "@kymo/trace";

/**
 * A sink that writes the file and shows the recording to the viewer at the other end of `port`. It never waits for the
 * viewer, and what the viewer cannot take is left out of the view only. Closing the sink closes the port.
 */
export function teeToViewer(file: TraceSink, port: MessagePort): TraceSink {
  return tee(file, viewerSink(port));
}

/** As `teeToViewer`, without a file. */
export function viewerSink(port: MessagePort): TraceSink {
  const feed = new LiveFeed((message, transfer) => port.postMessage(message, transfer));
  port.on("message", (message: ViewMessage) => feed.take(message));
  port.unref(); // a viewer does not keep a capture alive
  return {
    ...feed.sink,
    close: () => {
      feed.sink.close();
      port.close();
    },
  };
}
