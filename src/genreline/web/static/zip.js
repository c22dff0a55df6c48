/* A zip archive of texts, stored as they are (APPNOTE.TXT 4.3): no library is needed for so little. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});
const UTF8_NAMES = 0x0800;
const NO_TIME = [0, 0x21]; // 1980-01-01, the first that the format knows

/** The archive of [[name, Blob], ...], a Blob. Equal names get a number. */
export async function zipOf(files) {
  const [parts, directory] = [[], []];
  let offset = 0;
  const taken = new Set();
  for (const [name, blob] of files) {
    const content = new Uint8Array(await blob.arrayBuffer());
    const label = new TextEncoder().encode(uniqueName(name, taken));
    const common = [20, UTF8_NAMES, 0, ...NO_TIME];
    const sizes = [crcOf(content), content.length, content.length];
    const local = record(0x04034b50, common, sizes, [label.length, 0]);
    directory.push(record(0x02014b50, [20, ...common], sizes, [label.length, 0, 0, 0, 0], [0, offset]), label);
    parts.push(local, label, content);
    offset += local.length + label.length + content.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(0x06054b50, [0, 0, files.length, files.length], [length, offset], [0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** A record's bytes: a signature, then groups of 16-bit numbers and, every second one, of 32-bit numbers. */
function record(signature, ...groups) {
  const size = 4 + groups.reduce((sum, group, i) => sum + group.length * (i % 2 ? 4 : 2), 0);
  const view = new DataView(new ArrayBuffer(size));
  view.setUint32(0, signature, true);
  let at = 4;
  groups.forEach((group, i) => {
    for (const number of group) {
      if (i % 2) view.setUint32(at, number, true);
      else view.setUint16(at, number, true);
      at += i % 2 ? 4 : 2;
    }
  });
  return new Uint8Array(view.buffer);
}

function crcOf(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function uniqueName(name, taken) {
  const [, stem, suffix] = name.replace(/[/\\:*?"<>|]/g, "_").match(/^(.*?)(\.[^.]*)?$/s); // of no system's names
  let unique = `${stem}${suffix ?? ""}`;
  for (let i = 2; taken.has(unique.toLowerCase()); i++) unique = `${stem} (${i})${suffix ?? ""}`;
  taken.add(unique.toLowerCase()); // some disks ignore case
  return unique;
}
