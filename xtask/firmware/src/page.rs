//! Texts with numbers. They are made without `core::fmt`, which takes much flash.

/// A text of at most 64 bytes. Bytes that do not fit are dropped.
pub struct Page {
    bytes: [u8; 64],
    length: usize,
}

impl Page {
    /// Returns an empty page.
    pub const fn new() -> Self {
        Self { bytes: [0; 64], length: 0 }
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

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.bytes.get(..self.length).unwrap_or_default()).unwrap_or_default()
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the size of the future that runs, and the number of bytes of the stack that have been used so far, as a
/// page.
pub fn figures() -> Page {
    let mut page = Page::new();
    page.text("future ").number(crate::future_size()).text("\nstack ").number(crate::stack::high_water()).text("\n");
    page
}
