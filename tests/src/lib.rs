//! What the process tests share: an environment that knows
//! which processes it caused, and the tasks of the test worker.

pub mod browser;
pub mod chaos;
pub mod env;
pub mod life;
pub mod pty;
pub mod tasks;

pub use browser::Browser;
pub use env::{Done, TestEnv, eventually};
pub use life::LifePipe;
pub use pty::Terminal;
