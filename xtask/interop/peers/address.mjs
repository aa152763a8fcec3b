// Parts that the peers in Node share: addresses in Degu's form, and reports.

// Returns an address in the form of node:net.
export function parse(text) {
  if (text.startsWith('unix:@')) return { path: `\0${text.slice(6)}` };
  if (text.startsWith('unix:')) return { path: text.slice(5) };
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

// Prints the address of a listening server.
export function announce(address) {
  let text;
  if (typeof address === 'string') text = `unix:${address.replace(/^\0/, '@')}`;
  else text = `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
  console.log(`listening on ${text}`);
}

export function large() {
  return Buffer.from(Array.from({ length: 1 << 20 }, (_, n) => n % 251));
}

// Performs each exchange, and prints a line for it. A text in place of an exchange is the reason why it is skipped.
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
