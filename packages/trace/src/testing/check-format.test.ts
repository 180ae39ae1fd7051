import { checkFormat } from "./check-format.ts";
import { fakeFormat, keepWhat } from "./fake-format.ts";

checkFormat(fakeFormat, { fixtures: new URL("./fixtures/", import.meta.url), keepWhat });
