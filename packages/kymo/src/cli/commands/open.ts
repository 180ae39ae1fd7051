import { type Command, UserError } from "../command.ts";

export const command: Command = {
  summary: "(being built)",
  help: "kymo open",
  run: async () => {
    throw new UserError("kymo open is not built yet");
  },
};
