import type { Codec, DeviceId, Reason } from '../core/types.ts';
import { encodeTcp } from './avl-encoder.ts';
import type { DamagedEntry } from './damage.ts';
import type { Random } from './random.ts';

const keepAlive = Buffer.of(0xff);
const http = Buffer.from('GET / HTTP/1.1\r\nHost: tracker.example\r\n\r\n', 'latin1');
const tlsHello = Buffer.from('16030100c8010000c40303', 'hex');
const lineEnd = Buffer.from('\r\n', 'latin1');

/**
 * Bytes that a producer can put into `frame` although they are not one AVL packet: keep-alives,
 * logins, line ends, hex as text and other protocols. Each must end as one dead letter.
 */
export function foreignEntry(deviceId: DeviceId, codec: Codec, random: Random): DamagedEntry {
  const [frame, reason] = random.pick(foreignFrames(deviceId, codec));
  return { fields: ['device_id', deviceId, 'frame', frame], reasons: [reason] };
}

function foreignFrames(deviceId: DeviceId, codec: Codec): readonly (readonly [Buffer, Reason])[] {
  // Without records, so that nothing but the foreign bytes is at stake.
  const packet = encodeTcp(codec, []);
  const login = Buffer.concat([Buffer.of(0, deviceId.length), Buffer.from(deviceId, 'latin1')]);
  return [
    [keepAlive, 'preamble_invalid'],
    [Buffer.concat([keepAlive, packet]), 'preamble_invalid'],
    [login, 'datagram_invalid'],
    [Buffer.concat([login, packet]), 'preamble_invalid'],
    [Buffer.concat([packet, lineEnd]), 'trailing_bytes'],
    [Buffer.concat([packet, packet]), 'trailing_bytes'],
    [Buffer.from(packet.toString('hex'), 'latin1'), 'preamble_invalid'],
    [http, 'preamble_invalid'],
    [tlsHello, 'preamble_invalid'],
  ];
}
