//! From a chat to tokens. What messages say never becomes a token that steers, whatever it looks like.

use zhiyin_core::language::{Message, Role};
use zhiyin_decoder::Decoder;

/// What begins and ends a message in ChatML.
const BEGIN: &str = "<|im_start|>";
const END: &str = "<|im_end|>";

/// Lays out a chat, ready for the assistant's words: in ChatML if the model knows its two marks and brings a template with them, else, as
/// for base models, as plain text. Continues an assistant's message that comes last.
pub fn chat_tokens(decoder: &Decoder, messages: &[Message]) -> Vec<u32> {
    let tokens = decoder.tokens();
    let speaks = decoder.template().is_some_and(|template| template.contains(BEGIN));
    let marks = tokens.control(BEGIN).zip(tokens.control(END)).filter(|_| speaks);
    let Some((begin, end)) = marks else {
        let text: Vec<String> = messages.iter().map(Message::content).collect();
        return tokens.of(&text.join("\n\n"));
    };
    let mut all = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        all.push(begin);
        all.extend(tokens.of(&format!("{}\n", message.role.name())));
        all.extend(message.parts.iter().flat_map(|part| tokens.of(&part.text)));
        if at + 1 == messages.len() && message.role == Role::Assistant {
            return all;
        }
        all.push(end);
        all.extend(tokens.of("\n"));
    }
    all.push(begin);
    all.extend(tokens.of("assistant\n"));
    all
}
