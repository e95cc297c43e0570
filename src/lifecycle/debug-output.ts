/**
 * Imported before everything that loads ioredis: its `debug` module reads DEBUG once, when it is
 * loaded, and then prints every command to stderr, AUTH with its password included. Nothing that
 * this program prints itself depends on DEBUG.
 */
delete process.env.DEBUG;
