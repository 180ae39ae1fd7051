import { type Command, UserError } from "../command.ts";

export const command: Command = {
  summary: "(being built)",
  help: "kymo record",
  run: async () => {
    throw new UserError("kymo record is not built yet");
  },
};
