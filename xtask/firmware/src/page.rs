//! Texts with numbers, without the formatting machinery of `core::fmt`.

/// A text of at most `N` bytes. What does not fit is left out.
pub struct Page<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Page<N> {
    /// Returns a page with nothing on it.
    pub const fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for byte in text.bytes() {
            self.byte(byte);
        }
        self
    }

    /// Adds a number in decimal.
    pub fn number(&mut self, number: usize) -> &mut Self {
        let mut unit = 1;
        while number / unit >= 10 {
            unit *= 10;
        }
        while unit > 0 {
            self.byte(b'0' + (number / unit % 10) as u8);
            unit /= 10;
        }
        self
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// Returns what is on the page.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.bytes.get(..self.length).unwrap_or_default()).unwrap_or_default()
    }
}

impl<const N: usize> Default for Page<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns what the program takes of the board: the future that runs, and the stack so far.
pub fn figures() -> Page<64> {
    let mut page = Page::new();
    page.text("future ").number(crate::future_size()).text("\nstack ").number(crate::stack::high_water()).text("\n");
    page
}
