/** The version that `kymo --version` says and traces carry; the same as in package.json. */
export const version = "0.1.0";
