//! Needs and complaints: patterns of words, English and Chinese, that hold where the clause doesn't say the opposite.

use zhiyin_core::{
    Sentiment,
    opinion::{Remark, Remarks},
};

use crate::text::negates;

/// Words before a pattern in which a negation takes it back.
const NEGATION_REACH: usize = 3;

/// Patterns by remark: words in sequence, `*` for any one word. Chinese ones are split into characters.
const PATTERNS: [(Remark, &[&str]); 11] = [
    (
        Remark::Broke,
        &[
            "broke",
            "broken",
            "breaks",
            "stopped working",
            "quit working",
            "fell apart",
            "falling apart",
            "died",
            "doesn't work",
            "does not work",
            "didn't work",
            "did not work",
            "no longer works",
            "snapped",
            "cracked",
            "defective",
            "坏 了",
            "断 了",
            "裂 了",
            "不 能 用",
            "用 不 了",
        ],
    ),
    (
        Remark::Returned,
        &[
            "returned",
            "returning",
            "returned it",
            "send it back",
            "sent it back",
            "sent them back",
            "sending it back",
            "refund",
            "return it",
            "return them",
            "退 货",
            "退 款",
            "退 了",
        ],
    ),
    (
        Remark::Incomplete,
        &[
            "was missing",
            "were missing",
            "is missing",
            "missing parts",
            "not included",
            "didn't come with",
            "did not come with",
            "doesn't come with",
            "少 了",
            "缺 少",
            "漏 发",
        ],
    ),
    (
        Remark::Late,
        &[
            "arrived late",
            "came late",
            "never arrived",
            "took forever",
            "never came",
            "took weeks",
            "took * weeks",
            "物 流 慢",
            "发 货 慢",
            "没 收 到",
        ],
    ),
    (
        Remark::NotAsDescribed,
        &[
            "not as described",
            "not as advertised",
            "wrong item",
            "wrong size",
            "wrong color",
            "wrong colour",
            "false advertising",
            "misleading",
            "not what i ordered",
            "not what i expected",
            "与 描 述 不 符",
            "发 错",
            "货 不 对 板",
        ],
    ),
    (
        Remark::BadlyMade,
        &[
            "cheaply made",
            "poorly made",
            "badly made",
            "flimsy",
            "poor quality",
            "low quality",
            "cheap plastic",
            "feels cheap",
            "poor construction",
            "piece of junk",
            "质 量 差",
            "质 量 很 差",
            "做 工 粗 糙",
            "劣 质",
        ],
    ),
    (
        Remark::Misfit,
        &[
            "doesn't fit",
            "does not fit",
            "didn't fit",
            "did not fit",
            "don't fit",
            "won't fit",
            "too small",
            "too big",
            "too short",
            "too large",
            "尺 寸 不 对",
            "太 小",
            "太 大",
            "装 不 上",
        ],
    ),
    (
        Remark::HardToUse,
        &[
            "hard to use",
            "difficult to use",
            "hard to set",
            "difficult to set",
            "confusing",
            "hard to figure",
            "no instructions",
            "poor instructions",
            "难 用",
            "不 好 用",
            "看 不 懂",
        ],
    ),
    (
        Remark::Overpriced,
        &[
            "overpriced",
            "too expensive",
            "over priced",
            "not worth the money",
            "not worth the price",
            "waste of money",
            "太 贵",
            "不 值",
        ],
    ),
    (
        Remark::Wish,
        &[
            "wish it",
            "wish they",
            "wish the",
            "i wish",
            "would be better if",
            "would be nice if",
            "would be great if",
            "would have been nice",
            "would have been better",
            "would be nice to",
            "would have liked",
            "should have",
            "could use a",
            "could be better",
            "could be longer",
            "could be a bit",
            "if only",
            "would like to see",
            "would prefer",
            "希 望",
            "要 是",
            "如 果 能",
            "建 议",
            "最 好 能",
        ],
    ),
    (
        Remark::Lack,
        &["lacks", "lacking", "needs a", "needs to be", "needs more", "no way to", "没 有 说 明", "缺 点 是"],
    ),
];

/// Adds what a clause asks for and complains about. A complaint in a clause that speaks well of the thing is none ("broke in nicely").
pub(crate) fn find(clause: &[String], sentiment: Sentiment, remarks: &mut Remarks) {
    for (remark, patterns) in PATTERNS {
        let counts = remark.is_need() || sentiment != Sentiment::Positive;
        if counts && patterns.iter().any(|pattern| is_in(clause, pattern)) {
            remarks.insert(remark);
        }
    }
}

fn is_in(clause: &[String], pattern: &str) -> bool {
    let length = pattern.split(' ').count();
    let fits = |window: &[String]| pattern.split(' ').zip(window).all(|(wanted, word)| wanted == "*" || wanted == word);
    let is_negated = |at: usize| clause[at.saturating_sub(NEGATION_REACH)..at].iter().any(|word| negates(word));
    clause.windows(length).enumerate().any(|(at, window)| fits(window) && !is_negated(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Words;

    fn found(text: &str, sentiment: Sentiment) -> Vec<Remark> {
        let mut remarks = Remarks::default();
        Words::of(text).clauses().for_each(|clause| find(clause, sentiment, &mut remarks));
        remarks.iter().collect()
    }

    #[test]
    fn complaints_hold_unless_they_are_denied() {
        let negative = |text| found(text, Sentiment::Negative);
        assert_eq!(negative("It broke after a week, so I sent it back."), [Remark::Broke, Remark::Returned]);
        assert!(negative("It has never broken.").is_empty());
        assert!(found("it broke in nicely", Sentiment::Positive).is_empty());
        assert_eq!(negative("took three weeks"), [Remark::Late]);
        assert_eq!(negative("用了两天就坏了，退货"), [Remark::Broke, Remark::Returned]);
    }

    #[test]
    fn needs_are_heard_in_praise_too() {
        assert_eq!(found("I wish it had a longer cable", Sentiment::Positive), [Remark::Wish]);
        assert_eq!(found("希望线再长一点", Sentiment::Positive), [Remark::Wish]);
    }
}
