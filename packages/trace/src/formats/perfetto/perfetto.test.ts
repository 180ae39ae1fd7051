import { checkFormat } from "../../testing/check-format.ts";
import { format } from "./index.ts";

checkFormat(format, { fixtures: new URL("./fixtures/", import.meta.url) });
