//! Tests that start the real program: what happens when it is killed, when its disk is full or damaged, to those without a key, and what
//! becomes of item texts.

mod access;
mod commands;
mod crash;
mod disk;
mod finetune;
mod harness;
mod llm;
mod reviews;
mod texts;
