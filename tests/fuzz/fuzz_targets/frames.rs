#![no_main]

orchestrator_fuzz::target!(frames);
