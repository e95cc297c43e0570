// Prepares this checkout for a script of package.json and prints, as its only line on standard
// output, the PATH to run that script with: the Node that package-lock.json pins comes first.
//
//     PATH=$(node scripts/prepare.cjs demo) && exec node demo/main.ts
//
// The shell then replaces itself with the script, so that no process stands between npm (or a
// terminal, or systemd) and the script to double or to swallow a signal (decision 0027).
//
// This file must be readable by every Node back to 10: it refuses those that are too old.
const least = 20;
const advice =
  'install Debian 13 (its nodejs is 20), the packages of NodeSource (deb.nodesource.com), ' +
  'or Node from nodejs.org/en/download';

if (Number(process.versions.node.split('.')[0]) < least) {
  process.stderr.write(
    `processor: needs Node ${least} or later to begin with, and this is ${process.version}: ${advice}\n`,
  );
  process.exitCode = 1;
} else {
  import('./prepare/main.mjs')
    .then((main) => main.prepare(process.argv[2]))
    .then((path) => {
      if (path === null) process.exitCode = 1;
      else process.stdout.write(`${path}\n`);
    });
}
