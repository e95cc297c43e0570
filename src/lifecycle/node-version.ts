/**
 * Refuses a Node that is too old, in one line. The entry imports this first: modules after it fail
 * on an older Node with an error that does not say why. package.json names the same version.
 */
const minMajor = 24;

if (Number(process.versions.node.split('.')[0]) < minMajor) {
  process.stderr.write(
    `processor: needs Node ${minMajor} or later, and this is ${process.version}; in a checkout, npm start and node_modules/.bin/node are the pinned Node\n`,
  );
  process.exit(1);
}
