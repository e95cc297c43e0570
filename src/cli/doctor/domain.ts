import { DependencyError } from '../../core/types.ts';
import { hasDomainTrigger } from '../../db/domain-switch.ts';
import { refusedOf } from '../domain/contract.ts';
import { type ContractView, viewContract } from '../domain/contract-view.ts';
import { onDomain } from '../domain/session.ts';
import { plural } from '../format.ts';
import type { Stores } from '../stores.ts';
import { type Check, failure, ok, warning } from './check.ts';

/** Checks what the domain needs, with its own login; with DOMAIN=off only that it is off. */
export async function checkDomain(stores: Stores): Promise<Check[]> {
  const { enabled } = stores.config.domain;
  try {
    const trigger = triggerCheck(enabled, await onDomain(stores, hasDomainTrigger));
    if (!enabled) return [trigger];
    return [trigger, ...contractChecks(await viewContract(stores))];
  } catch (error) {
    if (!(error instanceof DependencyError)) throw error;
    // Without the domain its login may be any; that of the service is checked apart.
    return enabled ? [failure('domain', error.message)] : [];
  }
}

function triggerCheck(isEnabled: boolean, hasTrigger: boolean): Check {
  const name = 'domain trigger';
  if (isEnabled === hasTrigger) return ok(name, isEnabled ? 'DOMAIN is on' : 'DOMAIN is off');
  return isEnabled
    ? warning(name, 'DOMAIN is on, and nothing fills the outbox: run processor migrate up')
    : warning(name, 'DOMAIN is off, and the outbox is still filled: run processor migrate up');
}

function contractChecks(view: ContractView): Check[] {
  const name = 'domain contract';
  const { faults, warnings } = view;
  const [fault] = faults;
  if (fault !== undefined) {
    const { object, problem } = fault;
    const more = faults.length === 1 ? '' : `, and ${plural(faults.length - 1, 'more', 'more')}`;
    return [failure(name, `${object}: ${problem}${more}: run processor domain contract`)];
  }
  const found = warnings.map(({ object, problem, advice }) =>
    warning(name, `${object}: ${problem}: ${advice}`),
  );
  const { refused, assignments } = refusedOf(view);
  if (refused.length + assignments > 0) {
    const rows = plural(refused.length + assignments, 'row is', 'rows are');
    found.push(warning(name, `${rows} refused: run processor domain contract`));
  }
  return found.length > 0 ? found : [ok(name, 'as promised')];
}
