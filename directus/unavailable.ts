/** Why a real Directus cannot run on this machine; not a failure of what is checked. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}
