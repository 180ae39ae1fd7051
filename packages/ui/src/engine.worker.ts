/** The engine of a page that has no server. */
import { startEngineWorker } from "@kymo/trace/engine";

startEngineWorker();
