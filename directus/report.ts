/** Prints each check of a run as a line, when it has been made. */
export interface Report {
  /** Runs a check; its answer. @throws what the check throws, after the line that says so */
  check<Answer>(claim: string, run: () => Promise<Answer>): Promise<Answer>;
  readonly passed: number;
}

export function createReport(out: NodeJS.WritableStream): Report {
  let passed = 0;
  return {
    get passed() {
      return passed;
    },
    async check(claim, run) {
      const startMs = performance.now();
      const seconds = () => ((performance.now() - startMs) / 1000).toFixed(1);
      try {
        const answer = await run();
        passed += 1;
        out.write(`ok      ${claim} (${seconds()} s)\n`);
        return answer;
      } catch (error) {
        out.write(`failed  ${claim} (${seconds()} s)\n`);
        throw error;
      }
    },
  };
}
