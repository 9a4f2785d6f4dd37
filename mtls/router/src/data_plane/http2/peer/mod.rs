//! Reads what the other side of a connection says that it takes.
//!
//! h2 follows these settings itself. It doesn't say how large a header the other side takes, nor when it
//! allows more streams.

use cellway_core::http2::{
    FrameHeader, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE, Part, SETTINGS,
};

/// The length of one setting: its number and its value (RFC 9113, section 6.5.1).
const SETTING_LEN: usize = 6;

/// What the other side takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    /// How many streams at a time.
    pub(super) streams: u32,
    /// How large a header, as HTTP/2 counts it.
    pub(super) header_list: u32,
}

/// Follows the SETTINGS frames of one side.
#[derive(Debug)]
pub(super) struct Peer {
    limits: Limits,
    /// Whether the current frame is SETTINGS.
    in_settings: bool,
    /// The part of a setting that has arrived.
    setting: [u8; SETTING_LEN],
    setting_len: usize,
}

impl Default for Peer {
    /// Without SETTINGS, there are no limits (RFC 9113, section 6.5.2).
    fn default() -> Self {
        Self {
            limits: Limits {
                streams: u32::MAX,
                header_list: u32::MAX,
            },
            in_settings: false,
            setting: [0; SETTING_LEN],
            setting_len: 0,
        }
    }
}

impl Peer {
    /// Takes a part of a frame. Returns what the other side takes if the part is about that.
    pub(super) fn takes(&mut self, part: Part<'_>) -> Option<Limits> {
        match part {
            Part::Header(FrameHeader { kind, .. }) => {
                self.in_settings = kind == SETTINGS;
                self.setting_len = 0;
                // The first frame may leave out the limits. It ends those that hold until then.
                self.in_settings.then_some(self.limits)
            }
            Part::Payload(bytes) if self.in_settings => {
                for byte in bytes {
                    self.setting[self.setting_len] = *byte;
                    self.setting_len += 1;
                    if self.setting_len == SETTING_LEN {
                        self.setting_len = 0;
                        self.set();
                    }
                }
                Some(self.limits)
            }
            Part::Payload(_) => None,
        }
    }

    fn set(&mut self) {
        let [a, b, c, d, e, f] = self.setting;
        let value = u32::from_be_bytes([c, d, e, f]);
        match u16::from_be_bytes([a, b]) {
            MAX_CONCURRENT_STREAMS => self.limits.streams = value,
            MAX_HEADER_LIST_SIZE => self.limits.header_list = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
