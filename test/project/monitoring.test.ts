import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { variables } from '../../src/config/variables.ts';
import { findProgram } from '../../tools/servers/programs.ts';
import { readCompose, serviceOf } from './compose/read.ts';
import { parseDockerfile } from './image/dockerfile.ts';

const execFileText = promisify(execFile);
const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');
const development = readCompose(read('compose.yaml'), {});

describe('the monitoring', () => {
  const stages = parseDockerfile(read('deploy/monitoring.Dockerfile')).stages;

  test('has the same versions in its images as in compose.yaml', () => {
    for (const { name, base } of stages)
      expect(base).toBe(serviceOf(development, name ?? '').image);
  });

  test('has everything in its images that compose.yaml binds, at the same place', () => {
    for (const { name, instructions } of stages) {
      const copied = instructions.map(({ text }) => text.split(/\s+/).at(-1) ?? '');
      const bound = serviceOf(development, name ?? '').volumes?.filter((mount) =>
        mount.endsWith(':ro'),
      );
      for (const mount of bound ?? []) {
        const [, target = ''] = mount.split(':');
        expect(copied.some((path) => path.startsWith(target))).toBe(true);
      }
    }
  });

  test('scrapes every instance of processor that Docker’s DNS knows, where it serves', () => {
    const { scrape_configs: jobs } = parse(read('deploy/prometheus/prometheus.yml'));
    const [job] = jobs.filter(({ job_name: name }: { job_name: string }) => name === 'processor');
    const port = Number(variables.httpPort.default);
    expect(job.dns_sd_configs).toMatchObject([{ names: ['processor'], type: 'A', port }]);
  });

  const needs = 'needs promtool (Debian package prometheus)';
  test.skipIf(findProgram('promtool') === null)(
    'is configured as Prometheus wants it',
    { meta: { needs } },
    async () => {
      const config = join(repository, 'deploy/prometheus/prometheus.yml');
      const { stdout } = await execFileText('promtool', ['check', 'config', config]);
      expect(stdout).toContain('SUCCESS');
    },
  );

  test('shows the dashboards of the folder that is mounted, from the Prometheus of this stack', () => {
    const provisioning = 'deploy/grafana/provisioning';
    const { datasources } = parse(read(`${provisioning}/datasources/prometheus.yaml`));
    expect(datasources).toMatchObject([{ uid: 'prometheus', url: 'http://prometheus:9090' }]);
    const { providers } = parse(read(`${provisioning}/dashboards/processor.yaml`));
    const mounts = serviceOf(development, 'grafana').volumes ?? [];
    expect(mounts).toContain(`./deploy/grafana/dashboards:${providers[0].options.path}:ro`);
  });
});
