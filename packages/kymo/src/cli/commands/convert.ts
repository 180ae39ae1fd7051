import { type Command, UserError } from "../command.ts";

export const command: Command = {
  summary: "(being built)",
  help: "kymo convert",
  run: async () => {
    throw new UserError("kymo convert is not built yet");
  },
};
