import type { MessageCodec } from '../core/types.ts';
import { encodeTcpData } from './avl-encoder.ts';
import type { Random } from './random.ts';

const codecIds: Readonly<Record<MessageCodec, number>> = {
  '12': 0x0c,
  '13': 0x0d,
  '14': 0x0e,
  '15': 0x0f,
};
const messageCodecs: readonly MessageCodec[] = ['12', '13', '14', '15'];

const response = 0x06;
const texts = [
  'INI:2019/7/22 7:22 RTC:2019/7/22 7:53 RST:2 ERR:1 SR:0 BR:0 CF:0 FG:0 FL:0 TU:0/0 UT:0 SMS:0 NOGPS:0:30 GPS:1 SAT:0 RS:3 RF:65 SF:1 MD:0',
  'DI1:31 DI2:0 DI3:0 DI4:0 AIN1:0 AIN2:16924 DO1:0 DO2:1',
  'Hello!!!\n',
] as const;

/** A device's answer to a command, as a packet of codec 12, 13, 14 or 15. */
export function encodeMessage(imei: string, ts: number, random: Random): Buffer {
  const codec = random.pick(messageCodecs);
  const head = headOf(codec, imei, Math.floor(ts / 1000));
  const text = Buffer.from(random.pick(texts), 'latin1');
  const size = Buffer.alloc(4);
  size.writeUInt32BE(head.length + text.length);
  const start = Buffer.from([codecIds[codec], 1, response]);
  return encodeTcpData(Buffer.concat([start, size, head, text, Buffer.from([1])]));
}

/** What stands before the text: a time in seconds, an IMEI as BCD with a leading zero, or both. */
function headOf(codec: MessageCodec, imei: string, seconds: number): Buffer {
  const time = Buffer.alloc(4);
  time.writeUInt32BE(seconds);
  const bcd = Buffer.from(`0${imei}`, 'hex');
  switch (codec) {
    case '12':
      return Buffer.alloc(0);
    case '13':
      return time;
    case '14':
      return bcd;
    case '15':
      return Buffer.concat([time, bcd]);
  }
}
