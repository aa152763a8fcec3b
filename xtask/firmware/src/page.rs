//! Texts with numbers, made without `core::fmt`, which takes much flash.

use heapless::String;

/// A text of at most 64 bytes. If another text does not fit after it, that text is dropped.
#[derive(Default)]
pub struct Page(pub String<64>);

impl Page {
    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let _ = self.0.push_str(text);
        self
    }

    /// Adds a number in decimal.
    pub fn number(&mut self, number: usize) -> &mut Self {
        if number >= 10 {
            self.number(number / 10);
        }
        let _ = self.0.push(char::from(b'0' + (number % 10) as u8));
        self
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the size of the future that runs, and the number of bytes of the stack that have been used so far, as a
/// page.
pub fn figures() -> Page {
    let mut page = Page::default();
    page.text("future ").number(crate::future_size()).text("\nstack ").number(crate::stack::high_water()).text("\n");
    page
}
