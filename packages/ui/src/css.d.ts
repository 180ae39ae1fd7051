/** Stylesheets go through vite; TypeScript needs only to know that they are modules. */
declare module "*.css";
