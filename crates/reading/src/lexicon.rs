//! A small general list of words that speak for or against something, in English and Chinese: what is left when a deployment has no
//! rated reviews of its own yet, and what tells which nouns people have opinions about.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use crate::text::negates;

/// Words after a negation whose sense it turns.
const NEGATION_REACH: usize = 3;

const FOR: &str = "good great excellent amazing awesome perfect perfectly love loves loved like likes liked nice nicely best better \
    fantastic wonderful superb beautiful beautifully happy pleased impressed solid sturdy durable reliable comfortable easy easily \
    smooth clear crisp clean bright rich warm strong fast quick quickly affordable cheap bargain recommend recommended worth \
    flawless flawlessly ideal favorite favourite satisfied enjoy enjoyed delighted outstanding decent fine helpful useful handy \
    accurate accurately brilliant impressive superior precise gorgeous pleasant lovely fun fresh tasty delicious soft quiet \
    reasonable incredible terrific thrilled glad convenient versatile responsive friendly";
const AGAINST: &str = "bad poor poorly terrible horrible awful worst worse hate hated hates disappointed disappointing disappointment \
    useless worthless broke broken breaks break defective faulty cheaply flimsy junk garbage trash crap waste wasted refund returned \
    returning returns noisy noise hiss buzz hum weak difficult hard annoying annoyed uncomfortable slow slowly overpriced expensive \
    fail failed fails failure unreliable unusable unhappy regret avoid wrong missing dead died fragile loose problem problems issue \
    issues ugly dirty rough rude late stiff heavy bulky harsh muddy tinny dull scratchy thin leaks leaked cracked bent mediocre \
    unfortunately misleading fake unacceptable frustrating frustrated sticky smelly loud stale bland";
const FOR_CHINESE: &str = "好 棒 赞 喜欢 满意 不错 完美 优秀 推荐 值得 实惠 便宜 划算 漂亮 好看 舒服 舒适 方便 结实 耐用 清晰 清楚 快 \
    开心 惊喜 超值 精致 顺滑 好用 好听 好吃 靠谱 给力 贴心 爱 稳定 牢固 安静 柔软 新鲜 美味";
const AGAINST_CHINESE: &str = "差 坏 烂 失望 糟糕 垃圾 后悔 退货 退款 难用 难看 难听 难吃 贵 慢 假 假货 破 破损 断 裂 脏 臭 吵 噪音 杂音 \
    漏 松 粗糙 劣质 坑 骗 敷衍 卡顿 麻烦 不便 问题 异味 掉色 褪色 刺鼻 不值 别买";

/// Both lists as a table.
static SENSES: LazyLock<FxHashMap<&'static str, i32>> = LazyLock::new(|| {
    let lists = [(FOR, 1), (FOR_CHINESE, 1), (AGAINST, -1), (AGAINST_CHINESE, -1)];
    lists.into_iter().flat_map(|(list, sense)| list.split_ascii_whitespace().map(move |word| (word, sense))).collect()
});

/// What a word or, in Chinese, a pair of characters says: 1 for, −1 against, 0 nothing.
pub(crate) fn sense(word: &str) -> i32 {
    SENSES.get(word).copied().unwrap_or(0)
}

/// The sense at a place: of two characters before that of one, and how many words it takes.
pub(crate) fn sense_at(words: &[String], place: usize) -> (i32, usize) {
    if let Some([first, second]) = words.get(place..place + 2)
        && !first.is_ascii()
        && !second.is_ascii()
    {
        let pair = sense(&format!("{first}{second}"));
        if pair != 0 {
            return (pair, 2);
        }
    }
    (sense(&words[place]), 1)
}

/// Sum of the senses of a clause, each turned by a negation shortly before it.
pub(crate) fn score(clause: &[String]) -> i32 {
    let (mut sum, mut place, mut negated_at) = (0, 0, None);
    while place < clause.len() {
        let (sense, length) = sense_at(clause, place);
        if sense != 0 {
            let is_negated = negated_at.is_some_and(|at: usize| place - at <= NEGATION_REACH);
            sum += if is_negated { -sense } else { sense };
            negated_at = negated_at.filter(|_| !is_negated);
        } else if negates(&clause[place]) {
            negated_at = Some(place);
        }
        place += length;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Words;

    fn total(text: &str) -> i32 {
        Words::of(text).clauses().map(score).sum()
    }

    #[test]
    fn negation_turns_the_sense() {
        assert_eq!([total("a great sound"), total("not a great sound"), total("it never broke")], [1, -1, 1]);
        assert_eq!(total("not that I ever thought it would be good"), 1);
        assert_eq!([total("音质很好"), total("音质不好"), total("不错"), total("质量很差，后悔")], [1, -1, 1, -2]);
        assert_eq!(total("a wooden box"), 0);
    }

    #[test]
    fn no_word_is_on_both_lists() {
        let words = |list: &'static str| list.split_ascii_whitespace();
        for (one, other) in [(FOR, AGAINST), (FOR_CHINESE, AGAINST_CHINESE)] {
            assert!(words(one).all(|word| words(other).all(|opposite| opposite != word)));
        }
    }
}
