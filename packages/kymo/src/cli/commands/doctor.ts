import { type Command, UserError } from "../command.ts";

export const command: Command = {
  summary: "(being built)",
  help: "kymo doctor",
  run: async () => {
    throw new UserError("kymo doctor is not built yet");
  },
};
