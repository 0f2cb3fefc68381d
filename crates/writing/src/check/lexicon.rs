//! Words that say nothing about the world, and phrases that make a claim. Whatever is in neither list is refused, so a word belongs here
//! only if no sentence can be made false by it.

use crate::check::words::{Word, words};
use crate::evidence::{Claim, Language};

/// What a phrase does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing.
    Harmless,
    /// It claims something.
    Says(Claim),
}

const ENGLISH: &str = "a an and the this that these those it its is are was were be to of for in on at by with as so if or your you yours \
     youve we our us here because since when might may could would will can have has had been just also too which who what \
     enjoy suit suits match matches fit fits pair pairs go goes well taste interest interested interests choice pick picks suggestion \
     suggest suggested recommend recommends recommended recommendation recommending think thought find found idea item items product products \
     something things thing based reason reasons hello hi please hope see next then there they them their from into";

const ENGLISH_CLAIMS: &[(Claim, &str)] = &[
    (Claim::Bought, "bought|purchased|ordered|own|purchase of|purchase|order of|buying"),
    (Claim::Viewed, "looked at|viewed|browsed|saw|seen|visited|viewing|looking at"),
    (Claim::Carted, "added|put|cart|basket|to your cart|in your cart"),
    (Claim::Liked, "liked|like|likes|loved|love|rated|favourite|favorite|enjoyed"),
    (Claim::Searched, "searched for|searched|search for|looked for|looking for|searching for"),
    (Claim::Belongs, "belongs to|belong to|category|categories"),
    (Claim::Popular, "popular|many people|people choose it|many people choose it|others|trending|widely chosen"),
    (Claim::Friends, "friends|your friends|your friends chose it|chose it"),
    (Claim::New, "new|newly|just arrived|recent|arrived"),
];

const CHINESE: &str = "您 你 我们 这 那 此 它 的 了 和 与 及 也 还 而 并 所以 因为 由于 因此 可能 也许 或许 会 能 可以 适合 推荐 为您 为你 给您 给你 \
     向您 向你 希望 觉得 商品 产品 款 件 个 是 在 有 对 将 把 一下 看看 试试 选择 不妨 根据 感兴趣 兴趣 口味 搭配 合适 喔 哦 吧 呢";

const CHINESE_CLAIMS: &[(Claim, &str)] = &[
    (Claim::Bought, "购买过|购买了|购买|买过|买了|下单"),
    (Claim::Viewed, "浏览过|浏览了|浏览|看过|看了|查看过"),
    (Claim::Carted, "加入了购物车|加入购物车|购物车"),
    (Claim::Liked, "喜欢|喜爱|好评|评价过|收藏"),
    (Claim::Searched, "搜索过|搜索了|搜索|搜过"),
    (Claim::Belongs, "属于|类别|同类"),
    (Claim::Popular, "很多人选择它|很多人|热门|受欢迎|大家"),
    (Claim::Friends, "您的朋友选择了它|朋友|好友"),
    (Claim::New, "新品|它是新品|新到|上新"),
];

/// Phrases that a text may be made of: harmless ones, and those that make one of these claims.
pub(super) fn phrases(language: Language, claims: &[Claim]) -> Vec<String> {
    let (harmless, known) = match language {
        Language::English => (ENGLISH, ENGLISH_CLAIMS),
        Language::Chinese => (CHINESE, CHINESE_CLAIMS),
    };
    let claimed = known.iter().filter(|(claim, _)| claims.contains(claim)).flat_map(|(_, phrases)| phrases.split('|'));
    harmless.split_whitespace().chain(claimed).map(str::to_owned).collect()
}

/// The phrases of a language, the longest first.
pub(super) struct Lexicon(Vec<(Vec<Word>, Meaning)>);

impl Lexicon {
    pub(super) fn of(language: Language) -> Self {
        let (harmless, claims) = match language {
            Language::English => (ENGLISH, ENGLISH_CLAIMS),
            Language::Chinese => (CHINESE, CHINESE_CLAIMS),
        };
        let harmless = harmless.split_whitespace().map(|phrase| (words(phrase), Meaning::Harmless));
        let claims =
            claims.iter().flat_map(|(claim, phrases)| phrases.split('|').map(|p| (words(p), Meaning::Says(*claim))));
        let mut phrases: Vec<_> = harmless.chain(claims).collect();
        phrases.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
        Self(phrases)
    }

    /// The longest phrase that the text goes on with.
    pub(super) fn longest(&self, rest: &[Word]) -> Option<(usize, Meaning)> {
        self.0.iter().find(|(phrase, _)| rest.starts_with(phrase)).map(|(phrase, meaning)| (phrase.len(), *meaning))
    }
}
