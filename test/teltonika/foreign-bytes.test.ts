import { describe, expect, test } from 'vitest';
import { encodeArray, wrapTcp } from '../../tools/teltonika/encode.ts';
import { imei } from './arbitraries.ts';
import { errorOf } from './expectations.ts';

const packet = wrapTcp(encodeArray('8', []));
const login = Buffer.concat([Buffer.of(0, 15), Buffer.from(imei)]);
const latin1 = (text: string) => Buffer.from(text, 'latin1');

describe('bytes that are not one AVL packet are named', () => {
  test.each([
    ['a keep-alive', Buffer.of(0xff), /^this is a keep-alive \(FF\)/],
    ['several keep-alives', Buffer.of(0xff, 0xff, 0xff), /^this is a keep-alive/],
    ['a keep-alive before a packet', Buffer.concat([Buffer.of(0xff), packet]), /stands before/],
    ['a login', login, /^this is an IMEI login/],
    ['a login before a packet', Buffer.concat([login, packet]), /login .* before the packet/],
    ['a line end before a packet', Buffer.concat([latin1('\r\n'), packet]), /line end .* before/],
    ['a keep-alive behind a packet', Buffer.concat([packet, Buffer.of(0xff)]), /keep-alive \(FF\)/],
    ['a line end behind a packet', Buffer.concat([packet, latin1('\n')]), /: a line end$/],
    ['two packets', Buffer.concat([packet, packet]), /another packet; one entry takes one/],
    ['a packet as hex text', latin1(packet.toString('hex')), /goes in the field frame_hex/],
    ['HTTP', latin1('GET / HTTP/1.1\r\n'), /HTTP/],
    ['TLS', Buffer.from('16030100c8010000c40303', 'hex'), /TLS/],
    ['SSH', latin1('SSH-2.0-OpenSSH_9.2\r\n'), /SSH/],
    ['MQTT', Buffer.from('101000044d515454040200', 'hex'), /MQTT/],
    ['GT06', Buffer.from('78780d01035941000000000000018cdd0d0a', 'hex'), /GT06/],
    ['H02', latin1('*HQ,8800000015,V1,121300,A#'), /H02/],
    ['Queclink', latin1('+RESP:GTFRI,0F0100,,,,,$'), /Queclink/],
    ['NMEA', latin1('$GPRMC,081836,A,3751.65,S,14507.36,E'), /NMEA/],
    ['JSON', latin1('{"device_id":1}'), /JSON/],
  ])('%s', (_name, bytes, message) => {
    expect(errorOf(bytes).message).toMatch(message);
  });

  test('no message repeats what the bytes hold', () => {
    for (const bytes of [login, Buffer.concat([login, packet]), latin1('GET /secret HTTP/1.1')]) {
      expect(errorOf(bytes).message).not.toMatch(new RegExp(`${imei}|secret`));
    }
  });
});
