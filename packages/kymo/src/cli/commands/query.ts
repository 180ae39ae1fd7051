import { type Command, UserError } from "../command.ts";

export const command: Command = {
  summary: "(being built)",
  help: "kymo query",
  run: async () => {
    throw new UserError("kymo query is not built yet");
  },
};
