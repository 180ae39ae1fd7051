import { connectFor } from "./engine/links.ts";
import { startPage } from "./page.tsx";

startPage(connectFor(new URL(location.href)), document.getElementById("app"));
