#![no_main]

orchestrator_fuzz::target!(blocks);
