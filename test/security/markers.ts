/** What is planted, and the search for it in whatever the service writes. */

/** Passwords with what URLs, JSON and shells write in another way. */
export const secrets = {
  redis: 'r3dis/M@rk er"one',
  postgres: 'p0stgres\\M@rk%er#two',
  migration: 'm1gration?M@rk&er=three',
  domain: 'd0main#M@rk/er%five',
  tracing: 'tr4cing:M@rk+er$four',
};

/** Valid, with a check digit; nothing else in the tests has its beginning. */
export const deviceId = '356938035643809';
export const place = { latitude: 12.3456789, longitude: -98.7654321 };

/** Each the beginning of what must not be seen: also a cut or a rounded form is found. */
const personal = [deviceId.slice(0, 14), '12.34567', '98.76543'];

/** Every planted secret that stands in the text, in any of the forms it may be written in. */
export function secretsIn(text: string): string[] {
  return Object.values(secrets).filter((secret) =>
    [
      secret,
      encodeURIComponent(secret),
      encodeURI(secret),
      JSON.stringify(secret).slice(1, -1),
      JSON.stringify(JSON.stringify(secret)).slice(3, -3),
      Buffer.from(secret).toString('base64').slice(0, -4),
      Buffer.from(secret).toString('hex'),
      // The part that needs no escape; a scrubber that stops at the first odd character is found.
      secret.slice(0, 6),
    ].some((form) => text.includes(form)),
  );
}

export function personalDataIn(text: string): string[] {
  return personal.filter((start) => text.includes(start));
}
