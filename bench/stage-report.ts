import type { BenchResult } from './main.ts';

const stages = [
  ['collection', 'garbage collection on the main thread'],
  ['scan', 'the payload: its fields and attributes'],
  ['decode', 'the frame: its records and attributes'],
  ['entry', "the entry's fields, and the position"],
  ['reply', 'the reply of Redis'],
  ['encoding', 'the parameters of the statement'],
  ['order', 'the order of the keys'],
  ['write', 'the driver of PostgreSQL'],
  ['in_flight', 'what is held until its acknowledgement'],
  ['acknowledge', 'the other connection to Redis'],
  ['state', 'the devices'],
  ['metrics', 'metrics, logs and the account'],
  ['pipeline', 'the loops between the stages'],
  ['node', "Node's own work, sockets among it"],
] as const;

/** What each stage of the service costs a record. */
export function stageLines({ figures }: BenchResult): string[] {
  const value = (name: string) => figures[name]?.median ?? '–';
  return [
    '## CPU of the service by stage',
    '',
    'Microseconds a record of the deployed program on real servers, by its own sampling profiler: the shares of the stages hold also while the machine is busy. The last line counts instructions (valgrind, without the kernel), which do not move with the machine at all.',
    '',
    '| stage | payload entries | frame entries ×10 |',
    '|---|---|---|',
    ...stages.map(
      ([name, text]) =>
        `| ${text} | ${value(`stage_formA_${name}_us`)} | ${value(`stage_formB10_${name}_us`)} |`,
    ),
    `| instructions a record | ${value('instructions_formA')} | ${value('instructions_formB10')} |`,
    '',
  ];
}
