/** What holds for every compose file, whatever it starts. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { lastOf, parseDockerfile } from '../image/dockerfile.ts';
import { type ComposeFile, serviceOf } from './read.ts';

const dockerfile = fileURLToPath(new URL('../../../Dockerfile', import.meta.url));
/** They end by themselves. */
const oneShots = ['simulator', 'roles', 'migrate', 'cli'];
const ours = ['processor', 'migrate', 'simulator', 'cli'];

/** Every secret is a file, mounted where it is read, and made by the file's own `secrets`. */
export function expectNoPassword(file: ComposeFile): void {
  for (const [name, service] of Object.entries(file.services)) {
    const { environment = {}, secrets = [], configs = [] } = service;
    for (const [variable, value] of Object.entries(environment)) {
      expect(value, `${name}.${variable}`).not.toMatch(/:\/\/[^/@]*:[^/@]+@/);
      if (!/PASSWORD|TOKEN|SECRET/.test(variable)) continue;
      expect(variable).toMatch(/_FILE$/);
      expect(secrets.map((secret) => `/run/secrets/${secret}`)).toContain(value);
    }
    for (const secret of secrets) expect(Object.keys(file.secrets)).toContain(secret);
    for (const config of configs) expect(Object.keys(file.configs), name).toContain(config);
  }
}

/** A read-only root, no capability, no root user, no swap, bounded logs. */
export function expectHardened(file: ComposeFile): void {
  const image = parseDockerfile(readFileSync(dockerfile, 'utf8')).stages.at(-1);
  for (const [name, service] of Object.entries(file.services)) {
    expect(service, name).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '5' } },
      restart: oneShots.includes(name) ? 'no' : 'unless-stopped',
      // No swap: a service that swaps is slower than one that is restarted.
      memswap_limit: service.mem_limit,
    });
    const ofTheImage = ours.includes(name) && image !== undefined ? lastOf(image, 'USER') : '';
    expect(service.user ?? ofTheImage, name).toMatch(/^[1-9]\d*:\d+$/);
  }
}

/** Written is only a volume of the file's own, or memory of a stated size. */
export function expectOwnMounts(file: ComposeFile): void {
  for (const [name, { volumes = [], tmpfs = [] }] of Object.entries(file.services)) {
    for (const mount of tmpfs) expect(mount, name).toMatch(/[:,]size=\d+m$/);
    for (const mount of volumes) {
      const [source = '', , mode] = mount.split(':');
      if (mode !== 'ro') expect(Object.keys(file.volumes), name).toContain(source);
    }
  }
}

/** Each service starts when what it needs is healthy, and that has a check. */
export function expectHealthyNeeds(file: ComposeFile): void {
  for (const [name, { depends_on = {} }] of Object.entries(file.services)) {
    for (const [needed, { condition }] of Object.entries(depends_on)) {
      const wanted = oneShots.includes(needed)
        ? 'service_completed_successfully'
        : 'service_healthy';
      expect(condition, `${name} needs ${needed}`).toBe(wanted);
      // processor has its check from the image.
      if (needed === 'processor' || oneShots.includes(needed)) continue;
      expect(serviceOf(file, needed).healthcheck).toHaveProperty('test');
    }
  }
}
