// What the peers in Node share: addresses in the form that Degu writes, and reports.

// The address as node:net takes it.
export function parse(text) {
  if (text.startsWith('unix:@')) return { path: `\0${text.slice(6)}` };
  if (text.startsWith('unix:')) return { path: text.slice(5) };
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

// Says where a server listens.
export function announce(address) {
  let text;
  if (typeof address === 'string') text = `unix:${address.replace(/^\0/, '@')}`;
  else text = `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
  console.log(`listening on ${text}`);
}

export function large() {
  return Buffer.from(Array.from({ length: 1 << 20 }, (_, n) => n % 251));
}

// Performs each exchange, and prints a line for it. Text in place of an exchange is why it is skipped.
export async function report(exchanges) {
  for (const [name, exchange] of Object.entries(exchanges)) {
    if (typeof exchange === 'string') {
      console.log(`${name} skipped ${exchange}`);
      continue;
    }
    try {
      await exchange();
      console.log(`${name} ok`);
    } catch (error) {
      console.log(`${name} failed ${JSON.stringify(error.message)}`);
    }
  }
}
