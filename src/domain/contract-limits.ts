import { ContractBrokenError } from './contract.ts';

/** The schema of the views. */
export const CONTRACT_SCHEMA = 'processor_contract';

export function tooManyGeofences(limit: number): ContractBrokenError {
  return new ContractBrokenError([
    {
      object: `${CONTRACT_SCHEMA}.geofences_v1`,
      problem: `more than ${limit} rows`,
      advice:
        'let the view leave out geofences that are not used, or raise DOMAIN_MAX_GEOFENCES (docs/configuration.md)',
    },
  ]);
}

export function tooManyVertices(limit: number): ContractBrokenError {
  return new ContractBrokenError([
    {
      object: `${CONTRACT_SCHEMA}.geofences_v1.shape`,
      problem: `more than ${limit} vertices in all shapes together`,
      advice: 'simplify the shapes, or raise DOMAIN_MAX_VERTICES (docs/configuration.md)',
    },
  ]);
}

export function tooManyRows(view: string, limit: number): ContractBrokenError {
  return new ContractBrokenError([
    {
      object: `${CONTRACT_SCHEMA}.${view}`,
      problem: `more than ${limit} rows`,
      advice: 'let the view leave out rows that ended before the horizon',
    },
  ]);
}
