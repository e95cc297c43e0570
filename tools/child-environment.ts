/**
 * What a program started by a test or the demo gets of this process's environment: the search path,
 * and Node's compile cache where the run has one (a command then starts with half the CPU).
 */
export function childEnvironment(): Readonly<Record<string, string | undefined>> {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  return { PATH, ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }) };
}
