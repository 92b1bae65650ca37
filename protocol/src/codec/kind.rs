//! The numbers of the kinds of messages.

pub(super) const HELLO: u8 = 0x01;
pub(super) const INIT: u8 = 0x02;
pub(super) const BLOB: u8 = 0x03;
pub(super) const RUN_MANY: u8 = 0x04;
pub(super) const INPUT_CHUNK: u8 = 0x05;
pub(super) const CREDIT: u8 = 0x06;
pub(super) const CANCEL: u8 = 0x07;
pub(super) const RECALL: u8 = 0x08;
pub(super) const PAUSE: u8 = 0x09;
pub(super) const RESUME: u8 = 0x0A;
pub(super) const DRAIN: u8 = 0x0B;
pub(super) const PING: u8 = 0x0C;
pub(super) const ACK: u8 = 0x0D;
pub(super) const BYE: u8 = 0x0E;
pub(super) const WIND_DOWN: u8 = 0x0F;
pub(super) const RUN_MANY_WITH: u8 = 0x10;
pub(super) const RESIZE: u8 = 0x11;

pub(super) const READY: u8 = 0x81;
pub(super) const STARTED: u8 = 0x82;
pub(super) const OUTPUT: u8 = 0x83;
pub(super) const RESULT_CHUNK: u8 = 0x84;
pub(super) const DONE_MANY: u8 = 0x85;
pub(super) const INPUT_CREDIT: u8 = 0x86;
pub(super) const RECALLED: u8 = 0x87;
pub(super) const PROGRESS: u8 = 0x88;
pub(super) const PONG: u8 = 0x89;
pub(super) const WORKER_ACK: u8 = 0x8A;
pub(super) const WORKER_BYE: u8 = 0x8B;
pub(super) const OMITTED: u8 = 0x8C;
