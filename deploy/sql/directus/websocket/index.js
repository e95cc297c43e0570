/**
 * A hook of Directus: sends its WebSocket subscribers an `update` for each timing record that
 * processor wrote or superseded by SQL, which Directus does not see by itself. announce.sql has the
 * triggers that name the records. Nothing is lost when this is down: a subscriber that reconnects
 * reads the collection again.
 */
const COLLECTION = 'timing_records';
const CHANNEL = 'timing_records';
/** Records in one update. */
const BATCH = 200;
/** Records that wait to be announced; beyond it they are dropped, and a warning is logged. */
const MAX_WAITING = 20_000;
const RETRY_MS = 5_000;

export default ({ init }, { database, getSchema, services, logger }) => {
  const waiting = new Set();
  let isAnnouncing = false;

  async function announceAll() {
    if (isAnnouncing) return;
    isAnnouncing = true;
    try {
      while (waiting.size > 0) {
        const ids = [...waiting].slice(0, BATCH);
        for (const id of ids) waiting.delete(id);
        const items = new services.ItemsService(COLLECTION, {
          schema: await getSchema(),
          knex: database,
        });
        // No field changes but date_updated, where the collection has one.
        await items.updateMany(ids, {}, { bypassLimits: true });
      }
    } catch (error) {
      logger.error(error, 'timing-live: records were not announced');
    } finally {
      isAnnouncing = false;
    }
  }

  function take({ payload }) {
    for (const id of payload.split(',')) waiting.add(id);
    if (waiting.size > MAX_WAITING) {
      logger.warn(`timing-live: ${waiting.size} records are not announced; Directus is too slow`);
      waiting.clear();
    }
    announceAll();
  }

  async function listen() {
    try {
      // A connection of its own: the pool would give this one to others.
      const connection = await database.client.acquireRawConnection();
      connection.on('notification', take);
      connection.on('error', (error) => logger.warn(error, 'timing-live: connection lost'));
      connection.once('end', () => setTimeout(listen, RETRY_MS));
      await connection.query(`LISTEN ${CHANNEL}`);
      logger.info('timing-live listens');
    } catch (error) {
      logger.warn(error, 'timing-live: no connection to PostgreSQL');
      setTimeout(listen, RETRY_MS);
    }
  }

  init('app.after', listen);
};
