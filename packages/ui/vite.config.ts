import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** The page: a static directory that works from any path, beside the command line that serves it. */
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  resolve: { conditions: ["source", "module", "browser", "import", "default"] },
  // TypeScript has no say over the JSX of the bundle.
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es" },
  build: {
    outDir: "../kymo/dist/ui",
    emptyOutDir: true,
    target: "es2023",
    sourcemap: false,
    // Inlined assets would be data: URLs, which the page's CSP refuses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
