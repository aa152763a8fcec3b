//! TCP over the network card of the board, an SMSC LAN9118. The card is a device of smoltcp, and the sockets of smoltcp
//! have the traits of `embedded_io_async`.
//!
//! The code takes only the steps that the emulated card needs. For example, it neither resets the card, nor waits
//! before it writes a frame, because QEMU accepts every frame at once.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

use degu_wire::embedded::Clock;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{self, RecvError, SocketBuffer, State};
use smoltcp::time::{self, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::registers::network_card;
use crate::{Ticks, now};

// The offsets of the card's registers, in bytes.
const RX_DATA: usize = 0x00;
const TX_DATA: usize = 0x20;
const RX_STATUS: usize = 0x40;
const TX_STATUS: usize = 0x48;
const TX_CONFIG: usize = 0x70;
const RX_FIFO: usize = 0x7c;
const MAC_COMMAND: usize = 0xa4;
const MAC_DATA: usize = 0xa8;

/// The command that writes the control register of the MAC.
const WRITE_MAC_CONTROL: u32 = 1 << 31 | 1;
/// The bits that receive frames for every address, and switch on the transmitter and the receiver.
const MAC_ENABLE: u32 = 1 << 18 | 1 << 3 | 1 << 2;
const TRANSMITTER_ON: u32 = 1 << 1;
/// The bits of a transmit command: the buffer is the first and the last of its frame.
const WHOLE_FRAME: u32 = 1 << 13 | 1 << 12;
/// The time after which a connection ends if the other host sends nothing, not even an acknowledgement. Without this
/// timeout, a host that begins a connection and vanishes keeps the socket forever.
const SILENCE: time::Duration = time::Duration::from_secs(10);
/// The time after which the socket asks a silent host for an acknowledgement. Two probes fit into [`SILENCE`].
const KEEP_ALIVE: time::Duration = time::Duration::from_secs(4);
/// The length of a frame's checksum, in bytes.
const CHECKSUM: usize = 4;
/// The length of a frame with its checksum, in whole words.
const FRAME: usize = 1520;
/// The address of the board, which is locally administered.
const ADDRESS: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

/// The network card, which is switched on, and the token of smoltcp for a received frame, and for a frame to send.
#[derive(Clone, Copy)]
struct Card;

impl Card {
    fn start() -> Self {
        network_card(MAC_DATA).write(MAC_ENABLE);
        network_card(MAC_COMMAND).write(WRITE_MAC_CONTROL);
        network_card(TX_CONFIG).write(TRANSMITTER_ON);
        Self
    }
}

impl Device for Card {
    type RxToken<'a> = Self;
    type TxToken<'a> = Self;

    fn receive(&mut self, _: Instant) -> Option<(Self, Self)> {
        (network_card(RX_FIFO).read() & 0xff_0000 != 0).then_some((*self, *self))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self> {
        Some(*self)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl phy::RxToken for Card {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let mut frame = [0; FRAME];
        let length = (network_card(RX_STATUS).read() >> 16 & 0x3fff) as usize;
        for at in (0..length).step_by(4) {
            let word = network_card(RX_DATA).read().to_le_bytes();
            // All words must be read, even the words of a frame that is too long. The stack does not get a frame that
            // is too long.
            if let Some(place) = frame.get_mut(at..at + 4) {
                place.copy_from_slice(&word);
            }
        }
        read(frame.get(..length.saturating_sub(CHECKSUM)).unwrap_or_default())
    }
}

impl phy::TxToken for Card {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut buffer = [0; FRAME];
        let frame = buffer.get_mut(..length).unwrap_or_default();
        let result = write(frame);
        let data = network_card(TX_DATA);
        data.write(WHOLE_FRAME | frame.len() as u32);
        data.write(frame.len() as u32);
        for word in frame.chunks(4) {
            data.write(word.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)));
        }
        network_card(TX_STATUS).read();
        result
    }
}

/// The network of the board.
pub struct Network(RefCell<Stack>);

struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
}

impl Network {
    /// Switches the card on. The board gets an address in the network that QEMU emulates. `sockets` is the storage for
    /// the sockets.
    pub fn start(sockets: &'static mut [SocketStorage<'static>]) -> Self {
        let mut interface = Interface::new(Config::new(ADDRESS.into()), &mut Card::start(), instant());
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(IpAddress::v4(10, 0, 2, 15), 24));
        });
        Self(RefCell::new(Stack { interface, sockets: SocketSet::new(sockets) }))
    }

    /// Returns a socket with these buffers, which is not connected.
    pub fn socket(&self, input: &'static mut [u8], output: &'static mut [u8]) -> Tcp<'_> {
        let mut socket = tcp::Socket::new(SocketBuffer::new(input), SocketBuffer::new(output));
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(SILENCE));
        socket.set_keep_alive(Some(KEEP_ALIVE));
        Tcp { network: self, socket: self.0.borrow_mut().sockets.add(socket) }
    }
}

fn instant() -> Instant {
    Instant::from_millis(now())
}

/// A TCP socket.
pub struct Tcp<'n> {
    network: &'n Network,
    socket: SocketHandle,
}

impl Tcp<'_> {
    /// Waits for a client at this port.
    pub async fn accept(&mut self, port: u16) {
        self.until(|socket| {
            // If `listen` fails, the socket already listens or has a client.
            let _ = socket.listen(port);
            socket.may_send().then_some(())
        })
        .await;
    }

    /// Closes the connection, and waits for a short time until the client has closed it too.
    pub async fn close(&mut self) {
        self.until(|socket| Some(socket.close())).await;
        let closed = self.until(|socket| matches!(socket.state(), State::Closed | State::TimeWait).then_some(()));
        let _ = Ticks.limit(&mut Duration::from_secs(1), closed).await;
        self.abort().await;
    }

    /// Resets the connection.
    pub async fn abort(&mut self) {
        self.until(|socket| Some(socket.abort())).await;
    }

    /// Polls the network stack and calls `step` in turns, until `step` returns a value.
    async fn until<T>(&mut self, mut step: impl FnMut(&mut tcp::Socket<'static>) -> Option<T>) -> T {
        poll_fn(|_| {
            let Stack { interface, sockets } = &mut *self.network.0.borrow_mut();
            interface.poll(instant(), &mut Card, sockets);
            let result = step(sockets.get_mut(self.socket));
            // This sends the bytes of the step.
            interface.poll(instant(), &mut Card, sockets);
            result.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

impl ErrorType for Tcp<'_> {
    type Error = ErrorKind;
}

impl Read for Tcp<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.until(|socket| match socket.recv_slice(buffer) {
            Ok(0) => None,
            Ok(read) => Some(Ok(read)),
            Err(RecvError::Finished) => Some(Ok(0)),
            Err(RecvError::InvalidState) => Some(Err(ErrorKind::ConnectionReset)),
        })
        .await
    }
}

impl Write for Tcp<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.until(|socket| match socket.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => None,
            Ok(written) => Some(Ok(written)),
            Err(_) => Some(Err(ErrorKind::ConnectionReset)),
        })
        .await
    }

    /// Does nothing, because the network stack sends all bytes by itself.
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
