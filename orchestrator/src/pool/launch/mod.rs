//! How worker processes are started; the only place that starts any.

mod local;

pub(super) use local::spawn;
