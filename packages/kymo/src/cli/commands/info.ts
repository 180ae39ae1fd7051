import { type Command, UserError } from "../command.ts";

export const command: Command = {
  summary: "(being built)",
  help: "kymo info",
  run: async () => {
    throw new UserError("kymo info is not built yet");
  },
};
