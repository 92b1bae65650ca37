//! The process tests, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent;
mod architecture;
mod calculating;
mod command_api;
mod command_limits;
mod control;
mod dashboard;
mod dependencies;
mod doctor;
mod dynamics;
mod environment;
mod examples;
mod faults;
mod generated;
mod jobs;
mod library;
mod limits;
mod logs;
mod order;
mod output;
mod packing;
mod parallel;
mod pipe;
mod pool;
mod printing;
mod progress;
mod recipes;
mod remote;
mod report;
mod run;
mod run_file;
mod self_spawn;
mod shell;
mod signals;
mod sources;
mod surroundings_config;
mod templates;
mod threads;
mod trace;
mod worker_protocol;
