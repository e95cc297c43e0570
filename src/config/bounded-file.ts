import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';

/** Maximum size of a file; a system's complete CA bundle has 0.2 MB. */
const maxBytes = 1_048_576;
/** Longest wait for the writer of a pipe. */
const pipeWaitMs = 2000;
const pipePollMs = 20;

/**
 * Reads a file or a pipe that the configuration names, within limits of size and time.
 * @throws an error with a `code`: that of the system, NOT_A_FILE, FILE_TOO_LARGE or PIPE_SILENT
 */
export function readBoundedFile(path: string): string {
  // Without O_NONBLOCK opening a named pipe waits for a writer.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(file);
    if (!isReadable(stats)) throw fault('NOT_A_FILE', 'neither a file nor a pipe');
    return readAll(file).toString('utf8');
  } finally {
    closeSync(file);
  }
}

/** Other kinds are refused: a device may be endless (/dev/zero), a terminal waits for input. */
function isReadable(stats: Stats): boolean {
  return stats.isFile() || stats.isFIFO();
}

function readAll(file: number): Buffer {
  const buffer = Buffer.alloc(maxBytes + 1);
  let length = 0;
  for (;;) {
    const read = readSome(file, buffer, length);
    if (read === 0) return buffer.subarray(0, length);
    length += read;
    if (length > maxBytes) throw fault('FILE_TOO_LARGE', `larger than ${maxBytes} bytes`);
  }
}

/** Waits synchronously: during the start nothing else runs that the wait could delay. */
function readSome(file: number, buffer: Buffer, offset: number): number {
  const giveUpAt = performance.now() + pipeWaitMs;
  for (;;) {
    try {
      return readSync(file, buffer, offset, buffer.length - offset, null);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      if (performance.now() > giveUpAt) {
        throw fault('PIPE_SILENT', `no data from the pipe within ${pipeWaitMs} ms`);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pipePollMs);
    }
  }
}

function fault(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
