use std::time::Instant;
use zhiyin_decoder::{Decoder, Memory, Run};
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let t = Instant::now();
    let d = Decoder::load(path.as_ref()).unwrap();
    println!("load {:?} {:?}", t.elapsed(), d.shape());
    for round in 0..4u32 {
        let mut m = Memory::default();
        let tokens: Vec<u32> = (0..256).map(|i| (i*37+round*11)%40000+100).collect();
        let t = Instant::now();
        let s = d.read(&mut [Run{tokens:&tokens, memory:&mut m, wanted_from:255}]);
        let l = d.logits(&s);
        let e = t.elapsed().as_secs_f64();
        let t = Instant::now();
        for i in 0..64u32 {
            let s = d.read(&mut [Run{tokens:&[(i*31+round)%40000+100], memory:&mut m, wanted_from:0}]);
            d.logits(&s);
        }
        let dd = t.elapsed().as_secs_f64();
        let mut ms: Vec<Memory> = (0..8).map(|_| Memory::default()).collect();
        let t = Instant::now();
        for i in 0..32u32 {
            let tok = [(i*31+round)%40000+100];
            let mut runs: Vec<Run> = ms.iter_mut().map(|m| Run{tokens:&tok, memory:m, wanted_from:0}).collect();
            let s = d.read(&mut runs);
            d.logits(&s);
        }
        let pp = t.elapsed().as_secs_f64();
        println!("prompt {:.0} decode {:.1} parallel8 {:.0} {}", 256.0/e, 64.0/dd, 256.0/pp, l[0]);
    }
    let mut toks = vec![1]; toks.extend(d.tokens().of("user\nWhat is the capital of France?")); toks.push(2);
    toks.extend(d.tokens().of("\n")); toks.push(1); toks.extend(d.tokens().of("assistant\n"));
    println!("{toks:?}");
    let mut m = Memory::default();
    let n = toks.len();
    let mut l = d.logits(&d.read(&mut [Run{tokens:&toks, memory:&mut m, wanted_from:n-1}]));
    let mut top: Vec<(usize,f32)> = l.iter().copied().enumerate().collect();
    top.sort_by(|a,b| b.1.total_cmp(&a.1));
    println!("{:?}", &top[..8]);
    for _ in 0..20 {
        let best = (0..l.len()).max_by(|a,b| l[*a].total_cmp(&l[*b])).unwrap() as u32;
        if best == d.tokens().end() { break; }
        print!("{}", String::from_utf8_lossy(d.tokens().bytes(best)));
        l = d.logits(&d.read(&mut [Run{tokens:&[best], memory:&mut m, wanted_from:0}]));
    }
    println!();
}
